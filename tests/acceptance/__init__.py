"""Tests of whole running stacks. A package, with whose last test in a process the stacks there end."""
