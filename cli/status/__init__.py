"""`darkroom status`: what the processes of a stack do now, from their metrics, their logs and the kernel."""
