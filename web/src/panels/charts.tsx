import { useEffect, useRef } from "react";
import uPlot from "uplot";
import type { Point } from "../api";
import { duration, rate } from "../format";
import { Panel } from "../panel";
import type { Theme } from "../theme";

const STAGES = ["Shopper stage", "Product stage"];
const HEIGHT = 160;

interface ChartProps {
  title: string;
  history: Point[];
  theme: Theme;
  values: (point: Point) => (number | null)[];
  show: (value: number) => string;
}

export function Charts({ history, theme }: { history: Point[]; theme: Theme }) {
  return (
    <Panel
      title="Last minutes"
      wide
      aside={
        <ul className="legend">
          {STAGES.map((name, at) => (
            <li key={name} className={`series-${at}`}>
              {name}
            </li>
          ))}
        </ul>
      }
    >
      <div className="charts">
        <Chart title="Lag" history={history} theme={theme} values={(p) => p.lag_ms} show={duration} />
        <Chart
          title="Records per second"
          history={history}
          theme={theme}
          values={(p) => p.records_per_second}
          show={rate}
        />
        <Chart
          title="Event to visible"
          history={history}
          theme={theme}
          values={(p) => p.freshness_ms}
          show={duration}
        />
      </div>
    </Panel>
  );
}

function Chart({ title, history, theme, values, show }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const data = columns(history, values);
  const newest = useRef(data);
  newest.current = data;

  useEffect(() => {
    const holder = box.current!;
    const made = new uPlot(options(holder.clientWidth, show), newest.current, holder);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: holder.clientWidth, height: HEIGHT }));
    observer.observe(holder);
    return () => {
      observer.disconnect();
      made.destroy();
    };
    // Colours are read when a chart is made.
  }, [theme, show]);

  useEffect(() => plot.current?.setData(data), [data]);

  const last = history.at(-1);
  const told = last ? values(last).map((value, at) => `${STAGES[at]} ${value === null ? "unknown" : show(value)}`) : [];
  return (
    <figure>
      <figcaption>{title}</figcaption>
      <div ref={box} role="img" aria-label={`${title} over the last minutes; now ${told.join(", ")}`} />
    </figure>
  );
}

function columns(history: Point[], values: ChartProps["values"]): uPlot.AlignedData {
  const times = history.map((point) => point.at_ms / 1_000);
  const series = STAGES.map((_, at) => history.map((point) => values(point)[at] ?? null));
  return [times, ...series] as uPlot.AlignedData;
}

function options(width: number, show: (value: number) => string): uPlot.Options {
  const style = getComputedStyle(document.body);
  // A canvas knows no CSS variables and no light-dark(): let the browser work them out.
  const colour = (name: string): string => {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, __, max) => [0, Math.max(max * 1.1, 10)] } },
    axes: [
      { ...axis, font: `11px ${style.fontFamily}` },
      { ...axis, font: `11px ${style.fontFamily}`, size: 64, values: (_, ticks) => ticks.map(show) },
    ],
    series: [{}, ...STAGES.map((label, at) => ({ label, stroke: colour(`--series-${at}`), width: 2, points: { show: false } }))],
  };
}
