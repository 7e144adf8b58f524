// Runs every registered test case, or those whose names contain the first argument.

#include "check.hpp"

int main(int argc, char** argv) { return vecsmith::testing::run_all(argc > 1 ? argv[1] : ""); }
