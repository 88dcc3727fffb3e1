"""The prompt that a model is given, made once per generation."""
