"""The cluster half of the command line: submit, upload, schedule and doctor, on kfp's and Kubernetes' own clients."""
