"""Commands for a cluster: `submit`, `upload`, `schedule` and `doctor`, on top of the clients of KFP and Kubernetes."""
