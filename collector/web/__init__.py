"""The platform's page: what gateways delivered, for who may look, and the two things that an operator may do there."""
