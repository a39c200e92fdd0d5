"""The synthetic sample that `tilepipe sample` writes, for trying out tilepipe without a download."""
