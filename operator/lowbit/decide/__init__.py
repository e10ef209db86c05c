"""Pure: a snapshot and the time in, a plan and conditions out; one file per stage."""
