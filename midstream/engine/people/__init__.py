"""People in a run: questions, answers, approvals, and settling what nobody knows the outcome of."""
