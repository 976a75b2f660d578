"""Ask the network, once and bounded; record, never judge."""
