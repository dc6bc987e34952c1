"""User programs of real frameworks, run as plain processes under the instruments: no cluster, no launcher."""
