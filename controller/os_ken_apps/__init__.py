"""os-ken applications of other people: loaded, given events and a checked datapath, watched, and told of."""
