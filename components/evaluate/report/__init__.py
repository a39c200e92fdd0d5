"""The evaluation report: HTML page, figures and Markdown summary."""
