"""The dashboard: an app, its screens, panels and widgets."""
