"""The four things a worker can be: predict, record, upkeep, webhooks; each file wires one."""
