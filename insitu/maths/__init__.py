"""Pure functions shared by features and simulators: profiles, fits, statistics, crystal structures."""
