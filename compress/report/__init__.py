"""What a run tells: `report.json` and `report.html`."""
