"""The runs table: schema, reading, validation and preparation."""
