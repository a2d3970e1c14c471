"""The cases: what is measured, a file each; `table.py` names them, `found.py` holds what they found."""
