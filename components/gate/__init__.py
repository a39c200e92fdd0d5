"""Decide whether a challenger may replace the champion."""
