"""Settings: `MONITOR_<PART>__<FIELD>` or one YAML file, read once, frozen; a file for each part."""
