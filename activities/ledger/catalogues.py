"""Reading the model catalogue: the one that is shipped, or the operator's file."""

from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from workflows.contracts.catalogue import Catalogue


class CatalogueInvalid(Exception):
    """The operator's catalogue can't be used. Mend the file that STILLMOTION_CATALOGUE names."""


def load_catalogue(override: Path | None = None) -> Catalogue:
    """The catalogue in force.

    Raises:
        CatalogueInvalid: the override can't be read or breaks a rule, with the first place where.
    """
    if override is None:
        shipped = resources.files("workflows.contracts") / "catalogue.json"
        return Catalogue.model_validate_json(shipped.read_text("utf-8"))
    try:
        return Catalogue.model_validate_json(override.read_text("utf-8"))
    except OSError as error:
        raise CatalogueInvalid(f"{override}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CatalogueInvalid(f"{override}: it is not UTF-8 text") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CatalogueInvalid(f"{override}: {place}: {first['msg']}") from error
