"""What an evaluation needs to know about single tiles, and how it shows them."""
