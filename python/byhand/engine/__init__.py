"""The engine: makes a plan, a list of kernel calls whose memory is allocated once."""
