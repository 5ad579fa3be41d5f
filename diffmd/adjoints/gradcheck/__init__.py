"""Every gradient method against finite differences."""
