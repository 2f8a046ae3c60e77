"""Finds what is wrong with an installation: facts are gathered, judged one by one, and only causes are told."""
