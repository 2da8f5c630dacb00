"""The layer between Airflow and ``waitlist``: connections, params, dates and errors, and no rule of the domain."""
