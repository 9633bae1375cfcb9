"""What the `reeldrop` command does: the demo, the open drop folder and the check of specs."""
