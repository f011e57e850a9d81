"""Which of the things that only a vision model meets change an answer: pictures, sizes, caches, neighbours."""
