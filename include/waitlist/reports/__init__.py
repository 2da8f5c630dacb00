"""All texts that people read: readiness, work lists, pages, questions to approvers, and messages."""
