// One dashboard as a page. What it draws is put into `window.REGATTA` before it loads; it asks nobody for anything.
import { createTheme, DataFrame, dateTime, GrafanaTheme2, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { framesOf } from './frames';
import { Panel } from './panels';

const CELL = 30;
const GAP = 8;
const MARGIN = 16;
const HEAD = 64;

const { board, answers, steps, chosen, span, theme: mode, width } = (window as any).REGATTA;
const failures: string[] = ((window as any).failures = []);
window.addEventListener('error', (event) => failures.push(String(event.message)));
window.addEventListener('unhandledrejection', (event) => failures.push(String(event.reason)));

class Fence extends React.Component<{ title: string; children: React.ReactNode }> {
  state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  componentDidCatch(error: unknown) {
    failures.push(`${this.props.title}: ${error}`);
  }
  render() {
    return this.state.failed ? null : this.props.children;
  }
}

const lastRow = Math.max(...board.panels.map(({ gridPos: { y, h } }: any) => y + h));
const total = HEAD + lastRow * (CELL + GAP) + MARGIN;

function place({ x, y, w, h }: any) {
  const column = (width - 2 * MARGIN + GAP) / 24;
  return {
    position: 'absolute' as const,
    left: MARGIN + x * column,
    top: HEAD + y * (CELL + GAP),
    width: w * column - GAP,
    height: h * (CELL + GAP) - GAP,
  };
}

function Head({ theme }: { theme: GrafanaTheme2 }) {
  const named = board.templating.list.filter(({ name }: any) => name in chosen);
  const time = (at: number) => dateTime(at * 1000).utc().format('YYYY-MM-DD HH:mm');
  const pill = { border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2, padding: '3px 8px', marginRight: 8 };
  return (
    <div style={{ position: 'absolute', left: MARGIN, right: MARGIN, top: 14, display: 'flex', alignItems: 'center' }}>
      <span style={{ fontSize: 18, fontWeight: 500, marginRight: 24 }}>{board.title}</span>
      {named.map(({ name, label }: any) => (
        <span key={name} style={pill}>
          <span style={{ color: theme.colors.text.secondary }}>{label}</span>{' '}
          {/^\.[*+]$/.test(chosen[name]) ? 'All' : chosen[name]}
        </span>
      ))}
      <span style={{ ...pill, marginLeft: 'auto', marginRight: 0 }}>
        {time(span.start)} to {time(span.end)} UTC
      </span>
    </div>
  );
}

function Board({ theme, frames }: { theme: GrafanaTheme2; frames: Record<number, DataFrame[]> }) {
  const range = { from: dateTime(span.start * 1000), to: dateTime(span.end * 1000) };
  const timeRange = { ...range, raw: range };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ position: 'relative', width, height: total, background: theme.colors.background.canvas }}>
        <Head theme={theme} />
        {board.panels.map((panel: any) => {
          const box = place(panel.gridPos);
          if (panel.type === 'row') {
            return (
              <div key={panel.id} style={{ ...box, fontSize: 15, fontWeight: 500, lineHeight: `${box.height}px` }}>
                {panel.title}
              </div>
            );
          }
          return (
            <div key={panel.id} style={box}>
              <Fence title={panel.title}>
                <PanelChrome title={panel.title} width={box.width} height={box.height}>
                  {(innerWidth: number, innerHeight: number) => (
                    <Fence title={panel.title}>
                      <Panel panel={panel} frames={frames[panel.id]} theme={theme} range={timeRange} width={innerWidth} height={innerHeight} />
                    </Fence>
                  )}
                </PanelChrome>
              </Fence>
            </div>
          );
        })}
      </div>
    </ThemeContext.Provider>
  );
}

async function draw() {
  const theme = createTheme({ colors: { mode } });
  document.body.style.margin = '0';
  const frames: Record<number, DataFrame[]> = {};
  for (const panel of board.panels) {
    if (panel.type !== 'row') {
      frames[panel.id] = await framesOf(panel, answers[panel.id], steps[panel.id], theme);
    }
  }
  await document.fonts.ready;
  createRoot(document.getElementById('root')!).render(<Board theme={theme} frames={frames} />);
  // Canvases are drawn in the frames after React's own work.
  for (let frame = 0; frame < 30; frame += 1) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  return { height: total, failures };
}

(window as any).drawn = draw().catch((error) => ({ height: total, failures: [...failures, String(error?.stack ?? error)] }));
