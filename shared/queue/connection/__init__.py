"""Clients of Redis: made from settings, told what a refusal is; and the gateway's shared pipelined write."""
