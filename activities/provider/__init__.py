"""The provider's HTTP API, and the protocol that makes one paid prediction per generation."""
