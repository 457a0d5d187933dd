"""What `accelerator.py` runs its parts with: processes under time limits, the machine, the table, and what it carries."""
