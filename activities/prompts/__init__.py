"""The prompt that a model is given, made once per generation.

`writing.py` decides who makes it: the caller, an LLM (`llm.py`, asked by `questions.py`), or a rule
(`rules.py`). `activities.py` is the Temporal face.
"""
