"""What applications define and call: tasks, their arguments, their handles."""
