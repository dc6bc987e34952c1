// Each kind of panel that the dashboards use, drawn with the components of which Grafana's own panels are made.
import { DataFrame, FieldDisplay, getFieldDisplayValues, GrafanaTheme2, TimeRange, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import React from 'react';

type Props = { panel: any; frames: DataFrame[]; theme: GrafanaTheme2; range: TimeRange; width: number; height: number };

const valuesOf = ({ panel, frames, theme }: Props, sparkline: boolean) =>
  getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text: string) => text,
    theme,
    data: frames,
    sparkline,
    timeZone: 'utc',
  });

const Nothing = ({ panel, height }: { panel: any; height: number }) => (
  <div style={{ height, display: 'flex', alignItems: 'center', justifyContent: 'center', opacity: 0.6 }}>
    {panel.fieldConfig.defaults.noValue ?? 'No data'}
  </div>
);

function Numbers(props: Props) {
  const { panel, theme, width, height } = props;
  const { options } = panel;
  return (
    <VizRepeater
      source={props.frames}
      getValues={() => valuesOf(props, options.graphMode !== 'none')}
      renderValue={({ value, width, height, count }: any) => (
        <BigValue
          value={value.display}
          sparkline={value.sparkline}
          count={count}
          width={width}
          height={height}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          theme={theme}
        />
      )}
      renderCounter={0}
      width={width}
      height={height}
      orientation={VizOrientation.Auto}
      autoGrid
    />
  );
}

function Bars(props: Props) {
  const { panel, theme, width, height } = props;
  const { options } = panel;
  // The longest of each, so that all names and all values get the same room.
  const longest = (values: FieldDisplay[]) =>
    values.reduce(
      (found, { display }) => ({
        title: (display.title ?? '').length > found.title.length ? display.title! : found.title,
        text: display.text.length > found.text.length ? display.text : found.text,
        prefix: (display.prefix ?? '').length > (found.prefix ?? '').length ? display.prefix : found.prefix,
        suffix: (display.suffix ?? '').length > (found.suffix ?? '').length ? display.suffix : found.suffix,
      }),
      { title: '', text: '', prefix: '', suffix: '' } as any
    );
  return (
    <VizRepeater
      source={props.frames}
      getAlignmentFactors={longest}
      getValues={() => valuesOf(props, false)}
      renderValue={({ value, width, height, count, orientation, alignmentFactors }: any) => (
        <BarGauge
          value={value.display}
          width={width}
          height={height}
          orientation={orientation}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor?.(value.colIndex)}
          theme={theme}
          itemSpacing={8}
          displayMode={options.displayMode}
          valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
          showUnfilled={options.showUnfilled}
          alignmentFactors={alignmentFactors}
          text={options.text}
        />
      )}
      renderCounter={0}
      width={width}
      height={height}
      orientation={VizOrientation.Horizontal}
      minVizHeight={options.minVizHeight}
      maxVizHeight={options.maxVizHeight}
    />
  );
}

export function Panel(props: Props) {
  const { panel, frames, range, width, height } = props;
  if (!frames.some((frame) => frame.length)) {
    return <Nothing panel={panel} height={height} />;
  }
  switch (panel.type) {
    case 'timeseries':
      return <TimeSeries frames={frames} timeRange={range} timeZone="utc" width={width} height={height} legend={panel.options.legend} options={panel.options} />;
    case 'stat':
      return <Numbers {...props} />;
    case 'bargauge':
      return <Bars {...props} />;
    case 'table':
      return (
        <TableNG
          data={frames[0]}
          width={width}
          height={height}
          sortBy={panel.options.sortBy}
          cellHeight={panel.options.cellHeight}
          fieldConfig={panel.fieldConfig}
          getActions={() => []}
          timeRange={range}
        />
      );
    default:
      throw new Error(`the renderer cannot draw a panel of type ${panel.type}`);
  }
}
