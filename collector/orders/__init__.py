"""What goes to gateways: commands, schedules, configurations, updates; and who ordered what."""
