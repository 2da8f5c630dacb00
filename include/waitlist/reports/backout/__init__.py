"""What must return from Millennium, as a workbook and as CSV, for those who cancel and call.

python -m waitlist.reports.backout --staging URL --batch ID --out DIR [--unit HSA-ID] [--replace]
"""

from waitlist.reports.backout.files import Content, make_files, write_files

__all__ = ["Content", "make_files", "write_files"]
