"""What tests are made of: servers and users to start, worlds in virtual time, faults to inject."""
