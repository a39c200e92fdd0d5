"""What runs inside the containers: one package a step, and what steps share."""
