"""The data converter of every client and worker of ours, made in this one place."""

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter

from activities.encryption.settings import EncryptionSettings


def data_converter(settings: EncryptionSettings) -> DataConverter:
    """How models become payloads, and back."""
    del settings
    return pydantic_data_converter
