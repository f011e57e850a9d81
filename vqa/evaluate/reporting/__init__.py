"""Writes what was measured on a data set: sentences, HTML, CSV, JUnit; measures nothing."""
