"""What somebody must do now and then, whoever it is: any worker does it."""
