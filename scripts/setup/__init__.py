"""Makes .venv and the engine's environment ready for `make`; needs nothing but Python's standard library.

.venv holds page and command line, without torch and vLLM. Each folder of .engines is an environment with one vLLM,
named after it; .engines/default is the one that is used unless told otherwise, and beside each stand what is known of
its installation (NAME.json) and its log (NAME.log).
"""
