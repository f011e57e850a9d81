"""The local vLLM server: what is started, how it is watched, and how nothing of it is left behind."""
