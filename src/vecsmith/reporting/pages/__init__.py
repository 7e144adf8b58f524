"""A report set as an HTML page, as Markdown, and for a terminal."""
