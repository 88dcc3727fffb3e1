"""The data converter of every client and worker of ours, made in this one place."""

from dataclasses import replace

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes

from activities.encryption.codec import EncryptionCodec
from activities.encryption.settings import EncryptionSettings


def data_converter(settings: EncryptionSettings) -> DataConverter:
    """How models become payloads, and back; with keys, payloads and failure texts are encrypted.

    Raises:
        KeysUnusable: the file of keys can't be used.
    """
    keys = settings.keys()
    if keys is None:
        return pydantic_data_converter
    return replace(
        pydantic_data_converter,
        payload_codec=EncryptionCodec(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
