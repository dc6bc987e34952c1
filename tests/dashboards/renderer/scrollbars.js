// Grafana's components import this package's default export, which a bundle of its CommonJS form does not have.
export { Scrollbars as default } from 'scrollbars-itself';
