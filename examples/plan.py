"""Plan how to spend GPU-hours on turning a language model into an embedder; keep it and a page."""

from vecsmith.planning import Budget, Data, Plan, Serving, find_accelerator, make_plan
from vecsmith.reporting import plan_page

a100 = find_accelerator("a100")
plan = make_plan(
    Budget.from_hours(8, a100, mfu=0.2),  # a fifth of its peak: measure yours, --calibrate
    accelerator=a100,
    data=Data(pairs=5_000_000),
    memory=40e9,
    serving=Serving(queries_per_month=1e8, documents=1e7),
)
print(plan.chosen)
for line in plan.explanation:
    print("-", line)
print("next best:", plan.runner_up)

plan.to_json("plan.json")  # vecsmith run plan.json --pairs pairs.parquet --out runs/
with open("plan.html", "w", encoding="utf-8") as file:
    file.write(plan_page(plan))
assert Plan.open("plan.json") == plan
