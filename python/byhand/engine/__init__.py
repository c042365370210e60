"""A network and a batch shape become kernel calls over memory that is allocated once."""
