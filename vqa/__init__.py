"""VQA Lab: ask a local vision-language model about images, and prove whether its answers repeat."""

__version__ = "0.1.0"
